"""The templates of one deployment, in memory."""

from cordon_server.gallery.gallery import Gallery
from cordon_server.gallery.rows import Reference, Rows, check_template, check_templates

__all__ = ["Gallery", "Reference", "Rows", "check_template", "check_templates"]
