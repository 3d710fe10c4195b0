"""What measuring costs the measured."""
