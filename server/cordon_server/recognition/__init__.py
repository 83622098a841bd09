"""Frames in, decisions out; knows neither gRPC, nor the database, nor any other room."""
