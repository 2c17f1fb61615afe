"""What users ask for: settings, rules, the selection grammar, group sizes and runtime options."""
