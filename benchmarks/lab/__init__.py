"""The lab: recipes trained and judged alike, one core each, with their results committed beside them."""
