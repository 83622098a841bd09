"""The recognition server: frames in, matches out, inside one deployment's authority."""
