"""The templates of one deployment, in memory."""

from cordon_server.gallery.exact import Gallery, Reference, check_template

__all__ = ["Gallery", "Reference", "check_template"]
