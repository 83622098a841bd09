"""The recognition server: frames in, matches out, inside one deployment's authority."""

import os as _os

# gRPC reads this once, when it is first imported, and every module here is imported after this one.
# The server's key is ECDSA, so a cipher list for RSA keys leaves TLS 1.2 nothing in common with any
# client; TLS 1.3 ignores the list. gRPC has no other way to leave TLS 1.2 out.
_os.environ["GRPC_SSL_CIPHER_SUITES"] = "ECDHE-RSA-AES128-GCM-SHA256"
