"""Access and limits: tokens, roles, quotas, rate limits, budgets per peer, and bans."""
