"""TaskMonk: batches and jobs, polled."""
