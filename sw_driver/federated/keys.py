"""Certificates of the hub and keys of the workers: who has none of ours does not get in.

    python -m autapse.sw_driver.federated.keys --out keys --hub hub.example --workers 5
"""

import argparse
import datetime
import ipaddress
import os
from pathlib import Path

from ..files import write_whole

DAYS = 825
CA, CERTIFICATE, KEY = "ca.crt", "hub.crt", "hub.key"


def _secret(path: Path, blob: bytes) -> None:
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(blob)


def write_keys(out: Path, *, names: list[str], workers: int) -> None:
    """Writes to `out` a certificate authority, the hub's certificate and key, and a key pair per worker.

    Files: `ca.crt` (to every host), `hub.crt` and `hub.key` (hub), `worker-N` (to worker N alone) and `worker-N.pub`
    (hub). The authority's own key is not kept: new certificates mean a new authority.

    `names` are the host names and addresses by which the workers reach the hub.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID
    out.mkdir(parents=True, exist_ok=True)
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)

    def begun(subject: str, issuer: str, key) -> x509.CertificateBuilder:
        def name(text):
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        return (x509.CertificateBuilder().subject_name(name(subject)).issuer_name(name(issuer))
                .public_key(key.public_key()).serial_number(x509.random_serial_number()).not_valid_before(start)
                .not_valid_after(start + datetime.timedelta(days=DAYS)))

    authority, hub = ec.generate_private_key(ec.SECP384R1()), ec.generate_private_key(ec.SECP384R1())
    owner = "autapse federation"
    usage = x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                          key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                          decipher_only=False)
    identity = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    root = (begun(owner, owner, authority)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(identity, critical=False).sign(authority, hashes.SHA384()))
    alternatives: list[x509.GeneralName] = []
    for text in names:
        try:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(text)))
        except ValueError:
            alternatives.append(x509.DNSName(text))
    server = (begun(names[0], owner, hub)
              .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
              .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
              .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identity), critical=False)
              .sign(authority, hashes.SHA384()))
    write_whole(out / CA, lambda file: file.write(root.public_bytes(pem)))
    write_whole(out / CERTIFICATE, lambda file: file.write(server.public_bytes(pem)))
    _secret(out / KEY, hub.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
    for worker in range(workers):
        key = ec.generate_private_key(ec.SECP384R1())
        _secret(out / f"worker-{worker}", key.private_bytes(pem, serialization.PrivateFormat.OpenSSH, plain))
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        write_whole(out / f"worker-{worker}.pub", lambda file, public=public: file.write(public + b"\n"))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument("--hub", action="append", required=True,
                        help="a name or address by which workers reach the hub; may be given again")
    parser.add_argument("--workers", type=int, default=5)
    given = parser.parse_args()
    if given.workers < 1:
        parser.error("--workers must be at least 1")
    write_keys(given.out, names=given.hub, workers=given.workers)
    print(f"{given.out}: {CA} for every host, {CERTIFICATE} and {KEY} for the hub, worker-N for worker N, "
          "worker-N.pub for the hub")


if __name__ == "__main__":
    main()
