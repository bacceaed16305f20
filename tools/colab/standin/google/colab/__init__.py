"""What the figures' packages ask of Colab, and nothing else."""
