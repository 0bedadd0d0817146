"""Who may use a server, and how much of it: tokens, quotas, rates, and room for what waits."""
