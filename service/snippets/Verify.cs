using System;
using System.Globalization;
using System.Linq;
using System.Security.Cryptography;
using System.Text;

/// Either signature of a request is enough; the second one also refuses old requests that somebody plays back.
public static class Verify
{
    private const long ToleranceSeconds = 5 * 60;

    /// Checks X-Tagmatic-Signature. The body is taken as it came: copy Request.Body before anything parses it.
    public static bool Signature(byte[] body, string signature, string secret)
    {
        var hex = BitConverter.ToString(Hmac(Encoding.UTF8.GetBytes(secret), body)).Replace("-", "").ToLowerInvariant();
        return Same("sha256=" + hex, signature);
    }

    /// Checks webhook-id, webhook-timestamp and webhook-signature; the secret is the standard_webhooks_secret.
    public static bool Webhook(byte[] body, string id, string timestamp, string signatures, string secret)
    {
        if (!long.TryParse(timestamp, NumberStyles.None, CultureInfo.InvariantCulture, out var seconds)) return false;
        if (Math.Abs(DateTimeOffset.UtcNow.ToUnixTimeSeconds() - seconds) > ToleranceSeconds) return false;
        var key = Convert.FromBase64String(secret.StartsWith("whsec_", StringComparison.Ordinal) ? secret.Substring(6) : secret);
        var signed = Encoding.UTF8.GetBytes($"{id}.{timestamp}.").Concat(body).ToArray();
        var expected = "v1," + Convert.ToBase64String(Hmac(key, signed));
        return signatures.Split(' ').Any(one => Same(expected, one));
    }

    private static byte[] Hmac(byte[] key, byte[] message)
    {
        using (var hmac = new HMACSHA256(key)) return hmac.ComputeHash(message);
    }

    private static bool Same(string expected, string given)
    {
        return CryptographicOperations.FixedTimeEquals(Encoding.UTF8.GetBytes(expected), Encoding.UTF8.GetBytes(given));
    }
}
