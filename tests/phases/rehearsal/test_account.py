"""The account of a rehearsal: asked by unmodified clients, held against the services' models, its policies evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given
from hypothesis import strategies as st

from phases.rehearsal.account import ANSWERS, SONNET, Account, Network, Role
from phases.rehearsal.modelled import Call, answered
from phases.rehearsal.policy import ALLOWED, DENIED, UNSAID, decision
from phases.rehearsal.wire import serving

ALL = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
EVERYTHING: dict[str, tuple[str, dict[str, Any], Callable[[dict[str, Any]], Any]]] = {
    "GetCallerIdentity": ("sts", {}, lambda a: a["Account"]),
    "GetRole": ("iam", {"RoleName": "pipeline"}, lambda a: a["Role"]["AssumeRolePolicyDocument"]["Version"]),
    "SimulatePrincipalPolicy": (
        "iam",
        {"PolicySourceArn": "arn:aws:iam::111122223333:role/pipeline", "ActionNames": ["s3:GetObject", "s3:PutObject"],
         "ResourceArns": ["arn:aws:s3:::b/k", "arn:aws:s3:::c/k"]},
        lambda a: [(r["EvalActionName"], r["EvalResourceName"][13], r["EvalDecision"]) for r in a["EvaluationResults"]],
    ),
    "ListServiceQuotas": ("service-quotas", {"ServiceCode": "sagemaker"}, lambda a: (len(a["Quotas"]), "NextToken" in a)),
    "ListAWSDefaultServiceQuotas": ("service-quotas", {"ServiceCode": "sagemaker", "MaxResults": 7}, lambda a: len(a["Quotas"])),
    "DescribeInstanceTypes": (
        "ec2", {"InstanceTypes": ["g5.2xlarge"]}, lambda a: a["InstanceTypes"][0]["ProcessorInfo"]["SupportedArchitectures"],
    ),
    "BatchGetImage": (
        "ecr", {"registryId": "763104351884", "repositoryName": "repo", "imageIds": [{"imageTag": "1"}, {"imageTag": "2"}]},
        lambda a: (len(a["images"]), a["failures"][0]["failureCode"]),
    ),
    "GetProducts": (
        "pricing",
        {"ServiceCode": "AmazonSageMaker", "Filters": [{"Type": "TERM_MATCH", "Field": "instanceName", "Value": "ml.g5.2xlarge"}]},
        lambda a: "1.5150" in a["PriceList"][0],
    ),
    "GetDownloadUrlForLayer": (
        "ecr", {"repositoryName": "repo", "layerDigest": "sha256:amd64"}, lambda a: a["downloadUrl"].rpartition("/")[2],
    ),
    "DescribeSubnets": ("ec2", {"SubnetIds": [Network().subnet]}, lambda a: a["Subnets"][0]["VpcId"]),
    "DescribeRouteTables": ("ec2", {}, lambda a: [r["State"] for r in a["RouteTables"][0]["Routes"]]),
    "DescribeVpcEndpoints": ("ec2", {}, lambda a: a["VpcEndpoints"][0]["ServiceName"]),
    "GetFoundationModel": ("bedrock", {"modelIdentifier": SONNET}, lambda a: a["modelDetails"]["modelLifecycle"]["status"]),
    "GetInferenceProfile": ("bedrock", {"inferenceProfileIdentifier": f"us.{SONNET}"}, lambda a: len(a["models"])),
}  # fmt: skip
SAID = {
    "GetCallerIdentity": "111122223333",
    "GetRole": "2012-10-17",
    "SimulatePrincipalPolicy": [(a, b, "allowed") for a in ("s3:GetObject", "s3:PutObject") for b in "bc"],
    "ListServiceQuotas": (100, True),
    "ListAWSDefaultServiceQuotas": 7,
    "DescribeInstanceTypes": ["x86_64"],
    "BatchGetImage": (1, "ImageNotFound"),
    "GetDownloadUrlForLayer": "amd64",
    "GetProducts": True,
    "DescribeSubnets": Network().vpc,
    "DescribeRouteTables": ["active", "active"],
    "DescribeVpcEndpoints": "com.amazonaws.us-east-1.s3",
    "GetFoundationModel": "ACTIVE",
    "GetInferenceProfile": 3,
}


@pytest.fixture(scope="module")
def account() -> Iterator[tuple[Account, Callable[..., Any]]]:
    made = Account(network=Network(gateway="nat-1"), images={"repo:1": "amd64"})
    made.roles["pipeline"] = Role(policies=[ALL])
    made.quotas = {"ml.g5.2xlarge for training job usage": 2.0}
    with serving(made) as place:

        def ask(service: str, key: str = "testing") -> Any:
            return boto3.client(
                service,
                endpoint_url=place.url,
                region_name="us-east-1",
                aws_access_key_id=key,
                aws_secret_access_key="x",
            )

        yield made, ask


def test_every_operation_is_asked_here() -> None:
    assert EVERYTHING.keys() == ANSWERS.keys()


@pytest.mark.parametrize("operation", EVERYTHING)
def test_an_answer_comes_back_through_the_unmodified_client(
    operation: str, account: tuple[Account, Callable[..., Any]]
) -> None:
    made, ask = account
    service, asked, said = EVERYTHING[operation]
    assert said(_called(ask(service), operation)(**asked)) == SAID[operation]
    assert made.calls[-1] == (service, operation)


def test_an_answer_that_is_not_the_services_is_never_sent() -> None:
    call = Call("sts", "GetCallerIdentity", "us-east-1", "testing", {})
    with pytest.raises(ValueError, match="Nickname"):
        answered(call, {"Nickname": "someone"})


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("GetCallerIdentity", "InvalidClientTokenId"),
        ("DescribeSubnets", "InvalidClientTokenId"),
        ("BatchGetImage", "UnrecognizedClientException"),
        ("GetFoundationModel", "UnrecognizedClientException"),
    ],
)
def test_who_is_not_known_is_refused_in_the_services_own_words(
    operation: str, code: str, account: tuple[Account, Callable[..., Any]]
) -> None:
    service, asked, _ = EVERYTHING[operation]
    with pytest.raises(ClientError) as e:
        _called(account[1](service, "nobody"), operation)(**asked)
    assert e.value.response["Error"]["Code"] == code


def _called(client: Any, operation: str) -> Callable[..., Any]:
    name = next(name for name, called in client.meta.method_to_api_mapping.items() if called == operation)
    method: Callable[..., Any] = getattr(client, name)
    return method


# Policies


@pytest.mark.parametrize(
    ("statement", "action", "resource", "said"),
    [
        ({"Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"}, "s3:GetObject", "arn:aws:s3:::b/k", ALLOWED),
        ({"Action": "S3:getobject", "Resource": "*"}, "s3:GetObject", "arn:aws:s3:::b/k", ALLOWED),
        ({"Action": "s3:Get*", "Resource": "arn:aws:s3:::b/*"}, "s3:GetObject", "arn:aws:s3:::bb/k", UNSAID),
        (
            {"Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/?"},
            "s3:GetObject",
            "arn:aws:s3:::b/kk",
            UNSAID,
        ),
        ({"Action": ["s3:GetObject"], "Resource": ["*"], "Effect": "Deny"}, "s3:GetObject", "x", DENIED),
    ],
)
def test_a_statement_is_about_what_its_patterns_match(
    statement: dict[str, Any], action: str, resource: str, said: str
) -> None:
    assert decision([{"Statement": [{"Effect": "Allow", **statement}]}], action, resource) == said


def test_a_condition_whose_key_does_not_come_with_the_request_is_not_met() -> None:
    like = {"StringLike": {"s3:prefix": ["fsm/*", ""]}}
    policy = {"Statement": {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*", "Condition": like}}
    for context, said in (
        ({"s3:prefix": "fsm/runs"}, ALLOWED),
        ({"s3:prefix": ""}, ALLOWED),
        ({"s3:prefix": "x"}, UNSAID),
        ({}, UNSAID),
    ):
        assert decision([policy], "s3:ListBucket", "arn:aws:s3:::b", context) == said


ACTIONS = st.sampled_from(["s3:GetObject", "s3:PutObject", "s3:*", "*"])
STATEMENTS = st.lists(
    st.fixed_dictionaries(
        {
            "Effect": st.sampled_from(["Allow", "Deny"]),
            "Action": ACTIONS,
            "Resource": st.sampled_from(["a", "b", "*"]),
        }
    ),
    max_size=4,
)


@given(STATEMENTS, STATEMENTS)
def test_more_statements_never_allow_what_one_denies(some: list[Any], more: list[Any]) -> None:
    one, both = ({"Statement": s} for s in (some, [*some, *more]))
    before, after = (decision([p], "s3:GetObject", "a") for p in (one, both))
    assert after == DENIED if before == DENIED else after in (before, ALLOWED, DENIED)
    assert decision([one, {"Statement": more}], "s3:GetObject", "a") == after, (
        "however they are divided into policies"
    )
