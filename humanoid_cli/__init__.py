"""The commands a person types: `humanoid-twin <verb>`. The only room that may use all the others."""
