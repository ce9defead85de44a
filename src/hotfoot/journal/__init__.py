"""The journal of migrations: what was asked, forecast, seen, done and found, kept in a database."""
