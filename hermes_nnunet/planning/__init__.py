"""Experiment planning for collections."""
