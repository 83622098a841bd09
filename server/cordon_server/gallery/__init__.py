"""The templates of one deployment, in memory."""

from cordon_server.gallery.exact import Gallery, Reference

__all__ = ["Gallery", "Reference"]
