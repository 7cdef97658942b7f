"""The morning report: what a night brought, kept in the ledger, told in one line and on one page."""
