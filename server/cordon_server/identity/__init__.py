"""Who is connecting and what they may do: certificates, peers, the permission table."""
