"""The edge: messages in, domain calls, messages out. One servicer a file; none decides anything."""
