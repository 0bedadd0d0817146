"""`overtone bench soak`: a server under mixed load, watched for growth, wrong counters and a slow stop."""
