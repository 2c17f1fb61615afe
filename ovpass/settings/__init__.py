"""What users configure: settings, rules, the selection grammar, group sizes and runtime options."""
