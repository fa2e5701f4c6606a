"""The methods that secure-fedsa is compared with, one file each, on the same small networks."""
