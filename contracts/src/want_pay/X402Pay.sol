// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.28;

import {Governed} from "./Governed.sol";
import {IEip2612, IEip3009, IErc1363Receiver, IErc165, IErc20, IErc677Receiver} from "./Interfaces.sol";
import {pull, push} from "./SafeTransfer.sol";

/// @notice What is paid. The parameters of `pay`, also as the data of `transferAndCall`.
/// `metadata` is empty or `abi.encode(uint64 expires, bytes32 requestHash)`.
struct Request {
    address seller;
    uint256 amount;
    string requestId;
    bytes metadata;
}

/// @notice Who lets this contract receive the amount (EIP-3009). The nonce follows from the request.
struct Authorization {
    address buyer;
    uint256 validAfter;
    uint256 validBefore;
    bytes signature;
}

/// @title Payments of requests (profile x402-pay/1): each way to pay ends in the same `PaymentSettled`.
/// @notice The money goes to the seller in the call that brings it: this contract keeps nothing, and its owner cannot
/// reach anything. A request is settled once. What is allowed to this contract is taken only from whoever calls it.
contract X402Pay is Governed, IErc165, IErc1363Receiver, IErc677Receiver {
    /// @notice `requestId` is keccak256 of the id's bytes, `amount` is what the buyer paid, fee included.
    event PaymentSettled(
        bytes32 indexed requestId, address buyer, address seller, uint256 amount, string currency, uint256 timestamp
    );
    event FeeTaken(bytes32 indexed requestId, address token, address recipient, uint256 amount);

    error TokenNotTaken(address token);
    error AlreadySettled(bytes32 key);
    error AmountMismatch(uint256 asked, uint256 given);
    error InvalidAmount();
    error InvalidSeller(address seller);
    error InvalidRequestId();
    error InvalidMetadata();
    error RequestExpired(uint256 expires);
    error Reentered();
    error WrongAmountReceived(uint256 expected, uint256 received);

    uint256 private constant REQUEST_ID_BYTES_MAX = 64;

    mapping(bytes32 => bool) private settled;
    bool private transient busy;

    modifier alone() {
        if (busy) revert Reentered();
        busy = true;
        _;
        busy = false;
    }

    // --- ways to pay ------------------------------------------------------------------------------------------------

    /// @notice Pays with the default token, which the caller has approved.
    function pay(address seller, uint256 amount, string calldata requestId, bytes calldata metadata) external alone {
        _settle(defaultToken, msg.sender, Request(seller, amount, requestId, metadata), false);
    }

    /// @notice Pays with a token that the caller has approved.
    function pay(address token, address seller, uint256 amount, string calldata requestId, bytes calldata metadata)
        external
        alone
    {
        _settle(token, msg.sender, Request(seller, amount, requestId, metadata), false);
    }

    /// @notice Approves by signature (EIP-2612) and pays. A permit does not say who is paid, so only its owner can use it.
    function payWithPermit(address token, Request calldata request, uint256 deadline, uint8 v, bytes32 r, bytes32 s)
        external
        alone
    {
        _checkToken(token);
        // Somebody may have shown the permit to the token before us; then the allowance is there already.
        try IEip2612(token).permit(msg.sender, address(this), request.amount, deadline, v, r, s) {} catch {}
        _settle(token, msg.sender, request, false);
    }

    /// @notice Pays with what the buyer has signed (EIP-3009 `ReceiveWithAuthorization`), whoever sends it. The nonce
    /// binds seller, amount, id and request hash, so the sender can change none of them.
    function payWithAuthorization(address token, Request calldata request, Authorization calldata authorization)
        external
        alone
    {
        _checkToken(token);
        uint256 before = IErc20(token).balanceOf(address(this));
        _receive(token, request, authorization);
        uint256 received = IErc20(token).balanceOf(address(this)) - before;
        if (received != request.amount) revert WrongAmountReceived(request.amount, received);
        _settle(token, authorization.buyer, request, true);
    }

    /// @notice ERC-1363: the token has brought the money.
    function onTransferReceived(address, address from, uint256 value, bytes calldata data)
        external
        alone
        returns (bytes4)
    {
        _brought(from, value, data);
        return IErc1363Receiver.onTransferReceived.selector;
    }

    /// @notice ERC-677: the token has brought the money.
    function onTokenTransfer(address from, uint256 value, bytes calldata data) external alone returns (bool) {
        _brought(from, value, data);
        return true;
    }

    // --- questions --------------------------------------------------------------------------------------------------

    /// @notice What is settled at most once. The amount is in it, so that a payment of one unit blocks nobody.
    function settlementKey(address token, address seller, uint256 amount, string memory requestId)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(token, seller, amount, keccak256(bytes(requestId))));
    }

    function isSettled(address token, address seller, uint256 amount, string calldata requestId)
        external
        view
        returns (bool)
    {
        return settled[settlementKey(token, seller, amount, requestId)];
    }

    /// @notice The nonce with which a buyer signs `ReceiveWithAuthorization` for this request.
    function authorizationNonce(address seller, uint256 amount, string memory requestId, bytes32 requestHash)
        public
        pure
        returns (bytes32)
    {
        return keccak256(abi.encode(seller, amount, keccak256(bytes(requestId)), requestHash));
    }

    function supportsInterface(bytes4 interfaceId) external pure returns (bool) {
        return interfaceId == type(IErc165).interfaceId || interfaceId == type(IErc1363Receiver).interfaceId;
    }

    // --- inside -----------------------------------------------------------------------------------------------------

    /// The data is the request as a struct (its first word is the offset 32) or as a list of arguments (its first word is
    /// the seller).
    function _brought(address from, uint256 value, bytes calldata data) private {
        Request memory request;
        if (data.length >= 32 && uint256(bytes32(data)) == 32) {
            request = abi.decode(data, (Request));
        } else {
            (request.seller, request.amount, request.requestId, request.metadata) =
                abi.decode(data, (address, uint256, string, bytes));
        }
        if (value != request.amount) revert AmountMismatch(request.amount, value);
        _settle(msg.sender, from, request, true);
    }

    function _receive(address token, Request calldata request, Authorization calldata authorization) private {
        bytes32 requestHash = _requestHash(request.metadata);
        bytes32 nonce = authorizationNonce(request.seller, request.amount, request.requestId, requestHash);
        bytes calldata signature = authorization.signature;
        if (signature.length == 65) {
            // Every token with EIP-3009 has this form; the other came later.
            IEip3009(token).receiveWithAuthorization(
                authorization.buyer,
                address(this),
                request.amount,
                authorization.validAfter,
                authorization.validBefore,
                nonce,
                uint8(signature[64]),
                bytes32(signature[:32]),
                bytes32(signature[32:64])
            );
        } else {
            IEip3009(token).receiveWithAuthorization(
                authorization.buyer,
                address(this),
                request.amount,
                authorization.validAfter,
                authorization.validBefore,
                nonce,
                signature
            );
        }
    }

    /// Marks the request as settled, moves the money and says so. `held`: it lies here; else the buyer has approved it.
    function _settle(address token, address buyer, Request memory request, bool held) private {
        string memory currency = _checkToken(token);
        _checkRequest(token, buyer, request);
        bytes32 key = settlementKey(token, request.seller, request.amount, request.requestId);
        if (settled[key]) revert AlreadySettled(key);
        settled[key] = true;

        bytes32 id = keccak256(bytes(request.requestId));
        uint256 fee = request.amount * feeBps / 10_000;
        uint256 net = request.amount - fee;
        uint256 before = IErc20(token).balanceOf(request.seller);
        _move(token, buyer, request.seller, net, held);
        uint256 received = IErc20(token).balanceOf(request.seller) - before;
        if (received != net) revert WrongAmountReceived(net, received);
        if (fee > 0) {
            _move(token, buyer, feeRecipient, fee, held);
            emit FeeTaken(id, token, feeRecipient, fee);
        }
        emit PaymentSettled(id, buyer, request.seller, request.amount, currency, block.timestamp);
    }

    function _move(address token, address buyer, address to, uint256 value, bool held) private {
        if (held) push(token, to, value);
        else pull(token, buyer, to, value);
    }

    function _checkToken(address token) private view returns (string memory symbol) {
        symbol = symbolOf[token];
        if (bytes(symbol).length == 0) revert TokenNotTaken(token);
    }

    function _checkRequest(address token, address buyer, Request memory request) private view {
        address seller = request.seller;
        if (seller == address(0) || seller == address(this) || seller == token || seller == buyer) {
            revert InvalidSeller(seller);
        }
        if (request.amount == 0) revert InvalidAmount();
        uint256 length = bytes(request.requestId).length;
        if (length == 0 || length > REQUEST_ID_BYTES_MAX) revert InvalidRequestId();
        _requestHash(request.metadata);
    }

    /// A payment that comes too late goes back instead of being lost.
    function _requestHash(bytes memory metadata) private view returns (bytes32 requestHash) {
        if (metadata.length == 0) return 0;
        if (metadata.length != 64) revert InvalidMetadata();
        uint256 expires;
        (expires, requestHash) = abi.decode(metadata, (uint256, bytes32));
        if (expires > type(uint64).max) revert InvalidMetadata();
        if (block.timestamp > expires) revert RequestExpired(expires);
    }
}
