"""A certificate authority that is made here and trusted nowhere else."""

import ipaddress
import ssl
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from delivery.destinations.session import tls_context

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


def a_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@dataclass
class Authority:
    """A certificate authority. ``issue`` makes the server side of TLS, as a receiver would set it up."""

    folder: Path
    name: x509.Name
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def found(cls, folder: Path, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            x509.CertificateBuilder(a_name(name), a_name(name), key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW - DAY)
            .not_valid_after(NOW + DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(folder, a_name(name), key, certificate)

    def issue(self, host: str = "127.0.0.1", *, since: timedelta = -DAY, until: timedelta = DAY) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        return self._serve(key, self._sign(key, host, self.name, since, until))

    def self_sign(self) -> ssl.SSLContext:
        key = ec.generate_private_key(ec.SECP256R1())
        alone = Authority(self.folder, a_name("127.0.0.1"), key, self.certificate)
        return self._serve(key, alone._sign(key, "127.0.0.1", alone.name, -DAY, DAY))

    def _sign(
        self, key: ec.EllipticCurvePrivateKey, host: str, issuer: x509.Name, since: timedelta, until: timedelta
    ) -> x509.Certificate:
        try:
            names: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
        except ValueError:
            names = x509.DNSName(host)
        return (
            x509.CertificateBuilder(issuer, a_name(host), key.public_key(), x509.random_serial_number())
            .not_valid_before(NOW + since)
            .not_valid_after(NOW + until)
            .add_extension(x509.SubjectAlternativeName([names]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )

    def _serve(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> ssl.SSLContext:
        file = self.folder / f"{certificate.serial_number}.pem"
        secret = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def in_old_tls(self, version: ssl.TLSVersion) -> ssl.SSLContext:
        """A good certificate, and no version of TLS but an old one."""
        context = self.issue()
        context.set_ciphers("ALL:@SECLEVEL=0")  # without it OpenSSL does not offer what is this weak
        with warnings.catch_warnings(action="ignore"):
            context.minimum_version = context.maximum_version = version
        return context

    @property
    def file(self) -> Path:
        """The authority's certificate, for whoever reads files."""
        path = self.folder / f"{self.certificate.serial_number}.authority.pem"
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return path

    def trust(self) -> ssl.SSLContext:
        """What a client trusts that knows this authority."""
        context = tls_context()
        context.load_verify_locations(cadata=self.certificate.public_bytes(serialization.Encoding.PEM).decode())
        return context
