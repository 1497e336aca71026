"""Whether another task or language helps, and which: sources, advice, mixing, arithmetic,
forgetting, the guard, the study."""
