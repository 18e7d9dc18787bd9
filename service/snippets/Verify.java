import static java.nio.charset.StandardCharsets.UTF_8;

import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Either signature of a request is enough; the second one also refuses old requests that somebody plays back. */
public final class Verify {
    private static final long TOLERANCE_S = 5 * 60;

    /** Checks X-Tagmatic-Signature. The body is taken as it came: request.getInputStream().readAllBytes(). */
    public static boolean signature(byte[] body, String signature, String secret) throws GeneralSecurityException {
        return equal("sha256=" + HexFormat.of().formatHex(hmac(secret.getBytes(UTF_8), body)), signature);
    }

    /** Checks webhook-id, webhook-timestamp and webhook-signature; the secret is the standard_webhooks_secret. */
    public static boolean webhook(byte[] body, String id, String timestamp, String signatures, String secret)
            throws GeneralSecurityException {
        if (!timestamp.matches("[0-9]{10}")) return false;
        if (Math.abs(Instant.now().getEpochSecond() - Long.parseLong(timestamp)) > TOLERANCE_S) return false;
        byte[] key = Base64.getDecoder().decode(secret.replaceFirst("^whsec_", ""));
        byte[] signed = hmac(key, (id + "." + timestamp + ".").getBytes(UTF_8), body);
        String expected = "v1," + Base64.getEncoder().encodeToString(signed);
        return Arrays.stream(signatures.split(" ")).anyMatch(one -> equal(expected, one));
    }

    private static byte[] hmac(byte[] key, byte[]... parts) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        for (byte[] part : parts) mac.update(part);
        return mac.doFinal();
    }

    private static boolean equal(String expected, String given) {
        return MessageDigest.isEqual(expected.getBytes(UTF_8), given.getBytes(UTF_8));
    }
}
