"""The language server: findings as you type, the rule's page on hover, fixes as code actions."""
