"""A workshop: exercises that check themselves, their two editions, and what a teacher hands round."""
