"""AWS Secrets Manager: GetSecretValue, with the credentials that boto3 finds (a role of the machine, task or pod).

``aws-sm://NAME`` or a whole ARN, which names its region; else AWS_REGION or AWS_DEFAULT_REGION does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from integrations.secret_stores import StoreFailed

TIMEOUT_SECONDS = 5.0
TRIES = 3
ARN = re.compile(r"arn:aws[\w-]*:secretsmanager:(?P<region>[a-z0-9-]+):\d+:secret:.+")
CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,59}")
HINTS = {
    "ResourceNotFoundException": "there is no such secret in this region: check the name and AWS_REGION",
    "AccessDeniedException": "the role may not read it: allow secretsmanager:GetSecretValue (and kms:Decrypt)",
    "DecryptionFailure": "it can't be decrypted: allow kms:Decrypt with its key",
    "InvalidRequestException": "it is being deleted, or has no value: restore it or name another",
    "UnrecognizedClientException": "the credentials are none of Amazon's: check the role or the access key",
    "InvalidSignatureException": "the secret access key is wrong: check the credentials",
    "ExpiredTokenException": "the credentials have expired: renew them",
}


def fetch(place: str, environ: Mapping[str, str]) -> str:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, NoRegionError

    arn = ARN.fullmatch(place)
    region = arn["region"] if arn else environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or None
    config = Config(
        connect_timeout=TIMEOUT_SECONDS, read_timeout=TIMEOUT_SECONDS, proxies={},
        retries={"total_max_attempts": TRIES, "mode": "standard"},
    )  # fmt: skip
    what = "AWS Secrets Manager"
    try:
        client = boto3.session.Session().client("secretsmanager", region_name=region, config=config)
        answer = client.get_secret_value(SecretId=place)
    except NoRegionError:
        raise StoreFailed(f"{what} needs a region: set AWS_REGION, or name the secret by its ARN") from None
    except NoCredentialsError:
        raise StoreFailed(f"{what} needs credentials: give the machine, task or pod a role") from None
    except ClientError as error:
        given = str(error.response.get("Error", {}).get("Code", ""))
        code = given if CODE.fullmatch(given) else "something unknown"
        raise StoreFailed(f"{what} answered {code}: {HINTS.get(code, 'look at its console')}") from None
    except (BotoCoreError, ValueError) as error:
        raise StoreFailed(f"{what} can't be reached ({type(error).__name__}): check region and network") from None
    text = answer.get("SecretString")
    if text is not None:
        return str(text)
    try:
        return bytes(answer["SecretBinary"]).decode()
    except (KeyError, UnicodeDecodeError):
        raise StoreFailed(f"{what} has no text there: store it as a string") from None
