"""End-to-end fine-tuning: the backbone's last block, or all of it, trained on together with the STRNN."""
