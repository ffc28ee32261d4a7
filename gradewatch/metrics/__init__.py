"""Every metric Gradewatch serves: what is read from the store (`watch`), and what a worker counts itself (`worker`)."""
