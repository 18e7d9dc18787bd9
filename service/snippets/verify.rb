# Either signature of a request is enough; the second one also refuses old requests that somebody plays back.
require "openssl"

module Verify
  TOLERANCE_S = 5 * 60

  # Checks X-Tagmatic-Signature. The body is taken as it came: request.body.read, or request.raw_post in Rails.
  def self.signature(body, signature, secret)
    OpenSSL.secure_compare("sha256=#{OpenSSL::HMAC.hexdigest("SHA256", secret, body)}", signature)
  end

  # Checks webhook-id, webhook-timestamp and webhook-signature; the secret is the standard_webhooks_secret.
  def self.webhook(body, id, timestamp, signatures, secret)
    return false unless timestamp.match?(/\A[0-9]{10}\z/) && (Time.now.to_i - timestamp.to_i).abs <= TOLERANCE_S

    key = secret.delete_prefix("whsec_").unpack1("m")
    digest = OpenSSL::HMAC.digest("SHA256", key, "#{id}.#{timestamp}.".b + body.b)
    signatures.split(" ").any? { |one| OpenSSL.secure_compare("v1,#{[digest].pack("m0")}", one) }
  end
end
