"""The record of every act: a Merkle log, its signed checkpoints, and what in it is personal."""
