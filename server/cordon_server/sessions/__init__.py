"""What is live: open deployments with their galleries and logs, and the cameras that stream."""
