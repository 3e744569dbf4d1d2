"""OTLP over gRPC and HTTP, in and out, on raw bytes."""

from tailring_otlpio.assembly import Assembly
from tailring_otlpio.auth_config import (
    BASIC_AUTH,
    BEARER_TOKEN_AUTH,
    BasicAuthConfig,
    BearerTokenAuthConfig,
)
from tailring_otlpio.client import MetadataItems, OtlpClient
from tailring_otlpio.client_config import (
    KeepaliveClientConfig,
    OtlpClientConfig,
    OtlpExporterConfig,
)
from tailring_otlpio.credentials import PLAINTEXT, Credentials, client_credentials
from tailring_otlpio.errors import OtlpIoError
from tailring_otlpio.exporter import OtlpExporter
from tailring_otlpio.extensions import Extension, Extensions, MakeExtension
from tailring_otlpio.file_config import FileExporterConfig
from tailring_otlpio.file_exporter import FileExporter, Files
from tailring_otlpio.heritage import Heritage
from tailring_otlpio.http_client import OtlpHttpClient
from tailring_otlpio.http_client_config import OtlpHttpExporterConfig
from tailring_otlpio.intake import ReceiverSettings
from tailring_otlpio.json_output import json_of, request_to_json
from tailring_otlpio.json_requests import request_from_json
from tailring_otlpio.live import Live, LiveAssembly
from tailring_otlpio.making import Makers, Making, Part
from tailring_otlpio.receiver import OtlpReceiver
from tailring_otlpio.receiver_config import (
    GrpcServerConfig,
    HttpServerConfig,
    OtlpReceiverConfig,
)
from tailring_otlpio.target import grpc_target
from tailring_otlpio.tls_config import TlsClientConfig

__all__ = [
    "BASIC_AUTH",
    "BEARER_TOKEN_AUTH",
    "PLAINTEXT",
    "Assembly",
    "BasicAuthConfig",
    "BearerTokenAuthConfig",
    "Credentials",
    "Extension",
    "Extensions",
    "FileExporter",
    "FileExporterConfig",
    "Files",
    "GrpcServerConfig",
    "Heritage",
    "HttpServerConfig",
    "KeepaliveClientConfig",
    "Live",
    "LiveAssembly",
    "MakeExtension",
    "Makers",
    "Making",
    "MetadataItems",
    "OtlpClient",
    "OtlpClientConfig",
    "OtlpExporter",
    "OtlpExporterConfig",
    "OtlpHttpClient",
    "OtlpHttpExporterConfig",
    "OtlpIoError",
    "OtlpReceiver",
    "OtlpReceiverConfig",
    "Part",
    "ReceiverSettings",
    "TlsClientConfig",
    "client_credentials",
    "grpc_target",
    "json_of",
    "request_from_json",
    "request_to_json",
]
