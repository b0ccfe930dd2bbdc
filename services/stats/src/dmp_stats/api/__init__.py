"""What calls stats: the gRPC service, its conversions and its errors."""
