"""The dollar in the words of x402-mock."""

from lib.common import env


def dollar(amount):
    from x402_mock.adapters.evm.schemas import EVMPaymentComponent

    return EVMPaymentComponent(
        amount=amount,
        currency=env("CURRENCY", "USDC"),
        caip2="eip155:84532",
        token=env("TOKEN", "0x036CbD53842c5426634e7929541eC2318f3dCF7e"),
        token_name=env("TOKEN_NAME", "USDC"),
        token_version=env("TOKEN_VERSION", "2"),
        token_decimals=6,
        rpc_url=env("RPC_URL"),
    )
