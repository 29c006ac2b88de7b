"""Load measurements. Figures are ratios taken side by side in one run; no test depends on them."""
