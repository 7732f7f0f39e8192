"""What the probe costs a training: throughput, CPU beside it, and bytes, against the plain run and against others."""
