<?php
// Either signature of a request is enough; the second one also refuses old requests that somebody plays back.

const TOLERANCE_S = 5 * 60;

/** Checks X-Tagmatic-Signature. The body is taken as it came: file_get_contents('php://input'). */
function verify_signature(string $body, string $signature, string $secret): bool
{
    return hash_equals('sha256=' . hash_hmac('sha256', $body, $secret), $signature);
}

/** Checks webhook-id, webhook-timestamp and webhook-signature; the secret is the standard_webhooks_secret. */
function verify_webhook(string $body, string $id, string $timestamp, string $signatures, string $secret): bool
{
    if (!preg_match('/^[0-9]{10}$/D', $timestamp) || abs(time() - (int) $timestamp) > TOLERANCE_S) {
        return false;
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, binary: true));
    foreach (explode(' ', $signatures) as $one) {
        if (hash_equals($expected, $one)) {
            return true;
        }
    }
    return false;
}
