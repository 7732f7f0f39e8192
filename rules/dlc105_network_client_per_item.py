"""Every item builds a network client, or asks a server without a time limit.

A new client means name lookup, TCP and TLS handshakes and (for cloud clients) the loading of service
descriptions: tens to hundreds of milliseconds per item. A request without a time limit can hang a worker,
and with it the training, for ever. Source: documentation of requests (*Session objects*, *Timeouts*) and
boto3 (*Clients*).

**Found:** in the item path, a session, client or connection built from things that do not vary with the
item; `requests.get` and its like, or `urlopen`, with no `timeout`.

**Left alone:** clients made lazily, once per worker; libraries with a time limit of their own (`httpx`).

**Cure:** make the client at first use in the worker and keep it on `self`; pass `timeout=`. **Versions:**
all.
"""

from collections.abc import Iterator

from dlcheck.lint.rule import Report, Rule
from dlcheck.program.items import ItemCall, argument, item_calls
from dlcheck.program.program import Program

_CLIENTS = frozenset(
    {
        "requests.Session", "requests.session", "httpx.Client", "aiohttp.ClientSession", "urllib3.PoolManager",
        "boto3.client", "boto3.resource", "boto3.Session", "boto3.session.Session", "botocore.session.get_session",
        "google.cloud.storage.Client", "google.cloud.bigquery.Client", "azure.storage.blob.BlobServiceClient",
        "azure.storage.blob.BlobServiceClient.from_connection_string", "minio.Minio", "psycopg2.connect",
        "psycopg.connect", "pymysql.connect", "MySQLdb.connect", "mysql.connector.connect", "pymongo.MongoClient",
        "redis.Redis", "redis.StrictRedis", "sqlalchemy.create_engine", "paramiko.SSHClient", "ftplib.FTP",
        "elasticsearch.Elasticsearch", "cassandra.cluster.Cluster", "snowflake.connector.connect",
    }
)  # fmt: skip
_REQUESTS = frozenset(
    f"{start}.{verb}"
    for start in ("requests", "requests.Session", "requests.session")
    for verb in ("get", "post", "put", "head", "patch", "delete", "request")
)
_URLOPEN = frozenset({"urllib.request.urlopen", "urllib2.urlopen"})


def check(program: Program) -> Iterator[Report]:
    for item in item_calls(program):
        yield from _client(item)
        yield from _request(item)


def _client(item: ItemCall) -> Iterator[Report]:
    name = next((n for n in item.names if n in _CLIENTS), None)
    given = (*item.call.args, *(value for _, value in item.call.keywords))
    if name is None or not item.repeats or any(item.varies(g) for g in given):
        return
    yield Report(
        item.scope,
        item.call.at,
        f"`{name}` connects again for every item: make it once per worker, at first use, and keep it on `self`",
        help="`if self._client is None: self._client = ...` in the method that reads: one client per worker",
    )


def _request(item: ItemCall) -> Iterator[Report]:
    plain = any(n in _REQUESTS for n in item.names)
    opened = any(n in _URLOPEN for n in item.names)
    if not (plain or opened) or item.here.lazy or item.function.lazy:
        return
    if any(key is None for key, _ in item.call.keywords):
        return
    if argument(item.call, 2 if opened else 9, "timeout") is not None:
        return
    name = next(n for n in item.names if n in _REQUESTS or n in _URLOPEN)
    yield Report(
        item.scope,
        item.call.at,
        f"`{name}` waits for ever if the server does not answer, and the training with it: pass `timeout=`",
        help="pass `timeout=` (seconds), and decide what a failed request means for the item",
    )


RULE = Rule(
    code="DLC105",
    name="network-client-per-item",
    severity="warning",
    check=check,
    page=__doc__ or "",
    causes=("fetch-io",),
    found=(
        """
        import boto3
        from torch.utils.data import Dataset

        class Bucket(Dataset):
            def __init__(self, bucket, keys):
                self.bucket = bucket
                self.keys = keys
            def __getitem__(self, i):
                s3 = boto3.client("s3")  # <- DLC105
                return s3.get_object(Bucket=self.bucket, Key=self.keys[i])["Body"].read()
        """,
        """
        import io
        import requests
        from PIL import Image
        from torch.utils.data import Dataset

        class Web(Dataset):
            def __init__(self, urls):
                self.urls = urls
            def __getitem__(self, i):
                response = requests.get(self.urls[i])  # <- DLC105
                return Image.open(io.BytesIO(response.content)).convert("RGB")
        """,
        """
        from google.cloud import storage
        from torch.utils.data import Dataset

        def download(bucket, key):
            client = storage.Client()  # <- DLC105
            return client.bucket(bucket).blob(key).download_as_bytes()

        class Bucket(Dataset):
            def __init__(self, keys):
                self.keys = keys
            def __getitem__(self, i):
                return download("images", self.keys[i])
        """,
        """
        import psycopg2
        from urllib.request import urlopen
        from torch.utils.data import Dataset

        class Rows(Dataset):
            def __init__(self, dsn):
                self.dsn = dsn
            def __getitem__(self, i):
                with psycopg2.connect(self.dsn) as connection:  # <- DLC105
                    url = connection.execute("select url from t where id = %s", (i,)).fetchone()
                return urlopen(url).read()  # <- DLC105
        """,
    ),
    clean=(
        """
        import boto3
        from torch.utils.data import Dataset

        class Bucket(Dataset):
            def __init__(self, bucket, keys):
                self.bucket = bucket
                self.keys = keys
                self._s3 = None
            def __getitem__(self, i):
                if self._s3 is None:
                    self._s3 = boto3.client("s3")
                return self._s3.get_object(Bucket=self.bucket, Key=self.keys[i])["Body"].read()
        """,
        """
        import requests
        from torch.utils.data import Dataset

        class Web(Dataset):
            def __init__(self, urls):
                self.urls = urls
            def __getitem__(self, i):
                return requests.get(self.urls[i], timeout=10).content
        """,
        """
        import functools
        import boto3
        from torch.utils.data import Dataset

        @functools.lru_cache(maxsize=None)
        def client():
            return boto3.client("s3")

        class Bucket(Dataset):
            def __init__(self, keys):
                self.keys = keys
            def __getitem__(self, i):
                return client().get_object(Bucket="images", Key=self.keys[i])["Body"].read()
        """,
        """
        import requests
        from torch.utils.data import Dataset

        class Downloaded(Dataset):
            def __init__(self, url, path):
                with open(path, "wb") as f:
                    f.write(requests.get(url).content)
                self.path = path
            def __getitem__(self, i):
                return i
        """,
        """
        import httpx
        from torch.utils.data import IterableDataset

        class Stream(IterableDataset):
            def __init__(self, urls):
                self.urls = urls
            def __iter__(self):
                with httpx.Client() as client:
                    for url in self.urls:
                        yield client.get(url).content
        """,
    ),
)
