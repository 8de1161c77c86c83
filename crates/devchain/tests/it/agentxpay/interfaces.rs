//! What the tests call, read and expect. Whether these are the public signatures is tested in `abi`.

use alloy_sol_types::sol;

sol! {
    #![sol(all_derives)]

    interface ServiceRegistry {
        struct Service {
            uint256 id;
            address provider;
            string name;
            string description;
            string endpoint;
            string category;
            uint256 pricePerCall;
            bool isActive;
            uint256 createdAt;
        }
        struct SubscriptionPlan {
            uint256 planId;
            uint256 serviceId;
            uint256 price;
            uint256 duration;
            string name;
        }
        event ServiceRegistered(uint256 indexed serviceId, address indexed provider, string name, uint256 pricePerCall);
        event ServiceUpdated(uint256 indexed serviceId);
        event ServiceActivated(uint256 indexed serviceId);
        event ServiceDeactivated(uint256 indexed serviceId);
        event SubscriptionPlanAdded(uint256 indexed serviceId, uint256 indexed planId, string name, uint256 price, uint256 duration);
        error InvalidServiceName();
        error InvalidEndpoint();
        error InvalidPrice();
        error NotServiceProvider(uint256 serviceId, address caller);
        error PlanNotFound(uint256 serviceId, uint256 planId);
        error ServiceAlreadyActive(uint256 serviceId);
        error ServiceAlreadyInactive(uint256 serviceId);
        error ServiceNotFound(uint256 serviceId);
        function registerService(string name, string description, string endpoint, string category, uint256 pricePerCall) external returns (uint256);
        function updateService(uint256 serviceId, string name, string description, string endpoint, uint256 pricePerCall) external;
        function activateService(uint256 serviceId) external;
        function deactivateService(uint256 serviceId) external;
        function addSubscriptionPlan(uint256 serviceId, string name, uint256 price, uint256 duration) external returns (uint256);
        function getServiceDetails(uint256 serviceId) external view returns (Service memory);
        function getServiceCount() external view returns (uint256);
        function getServicesByCategory(string category) external view returns (Service[] memory);
        function getServicesByProvider(address provider) external view returns (uint256[] memory);
        function isServiceActive(uint256 serviceId) external view returns (bool);
        function getSubscriptionPlan(uint256 serviceId, uint256 planId) external view returns (SubscriptionPlan memory);
        function getSubscriptionPlans(uint256 serviceId) external view returns (SubscriptionPlan[] memory);
    }

    /// What OpenZeppelin's parts say, wherever they are in a contract.
    interface Owned {
        error EnforcedPause();
        error OwnableUnauthorizedAccount(address account);
        error ReentrancyGuardReentrantCall();
        error TransferFailed(address to, uint256 amount);
        error ZeroAmount();
        function owner() external view returns (address);
        function paused() external view returns (bool);
        function pause() external;
        function unpause() external;
        function serviceRegistry() external view returns (address);
    }

    interface PaymentManager {
        event PaymentMade(uint256 indexed serviceId, address indexed payer, address indexed provider, uint256 amount, uint256 platformFee);
        event BatchPaymentMade(address indexed payer, uint256 totalAmount, uint256 count);
        event BalanceDeposited(address indexed user, uint256 amount);
        event BalanceWithdrawn(address indexed user, uint256 amount);
        event ProviderWithdrawn(address indexed provider, uint256 amount);
        error InsufficientBalance(uint256 required, uint256 available);
        error InsufficientPayment(uint256 required, uint256 provided);
        error InvalidFeeRate(uint256 feeRate);
        error NoEarningsToWithdraw();
        error ServiceNotActive(uint256 serviceId);
        function payPerUse(uint256 serviceId) external payable;
        function batchPay(uint256[] serviceIds) external payable;
        function deposit() external payable;
        function withdraw(uint256 amount) external;
        function payFromBalance(uint256 serviceId) external;
        function withdrawProviderEarnings() external;
        function withdrawPlatformFees() external;
        function setPlatformFeeRate(uint256 newRate) external;
        function setFeeCollector(address newCollector) external;
        function platformFeeRate() external view returns (uint256);
        function getPlatformFeeRate() external view returns (uint256);
        function feeCollector() external view returns (address);
        function getUserBalance(address user) external view returns (uint256);
        function getProviderEarnings(address provider) external view returns (uint256);
        function getPaymentCount(address user) external view returns (uint256);
        function getTotalSpent(address user) external view returns (uint256);
    }

    interface SubscriptionManager {
        struct Subscription {
            uint256 subscriptionId;
            uint256 serviceId;
            uint256 planId;
            address subscriber;
            uint256 startTime;
            uint256 endTime;
            bool autoRenew;
            bool isActive;
        }
        event Subscribed(uint256 indexed subscriptionId, uint256 indexed serviceId, uint256 indexed planId, address subscriber, uint256 startTime, uint256 endTime);
        event SubscriptionPaid(uint256 indexed serviceId, address indexed subscriber, address indexed provider, uint256 amount, uint256 platformFee);
        event SubscriptionRenewed(uint256 indexed subscriptionId, uint256 newEndTime);
        event SubscriptionCancelled(uint256 indexed subscriptionId);
        event AutoRenewToggled(uint256 indexed subscriptionId, bool autoRenew);
        error AlreadySubscribed(address user, uint256 serviceId);
        error NotSubscriber(uint256 subscriptionId);
        error SubscriptionNotActive(uint256 subscriptionId);
        error SubscriptionNotFound(uint256 subscriptionId);
        function subscribe(uint256 serviceId, uint256 planId) external payable returns (uint256);
        function renewSubscription(uint256 subscriptionId) external payable;
        function cancelSubscription(uint256 subscriptionId) external;
        function toggleAutoRenew(uint256 subscriptionId) external;
        function checkAccess(address user, uint256 serviceId) external view returns (bool);
        function isSubscriptionActive(uint256 subscriptionId) external view returns (bool);
        function getSubscription(uint256 subscriptionId) external view returns (Subscription memory);
        function getUserSubscriptions(address user) external view returns (uint256[] memory);
        function getProviderEarnings(address provider) external view returns (uint256);
        function getTotalSpent(address user) external view returns (uint256);
        function platformFeeRate() external view returns (uint256);
    }

    interface Escrow {
        struct EscrowData {
            uint256 escrowId;
            uint256 serviceId;
            address payer;
            address provider;
            uint256 amount;
            uint8 status;
            uint256 createdAt;
            uint256 deadline;
            string description;
        }
        event EscrowCreated(uint256 indexed escrowId, address indexed payer, address indexed provider, uint256 amount);
        event EscrowFunded(uint256 indexed escrowId);
        event EscrowReleased(uint256 indexed escrowId);
        event EscrowRefunded(uint256 indexed escrowId);
        event EscrowDisputed(uint256 indexed escrowId, address disputedBy);
        event EscrowResolved(uint256 indexed escrowId, uint256 payerAmount, uint256 providerAmount);
        error DeadlineNotReached(uint256 escrowId);
        error EscrowNotFound(uint256 escrowId);
        error InvalidDeadline();
        error InvalidPercent();
        error InvalidStatus(uint256 escrowId, uint8 current, uint8 expected);
        error NotParty(uint256 escrowId);
        error NotPayer(uint256 escrowId);
        function createEscrow(uint256 serviceId, address provider, uint256 deadline, string description) external payable returns (uint256);
        function releaseEscrow(uint256 escrowId) external;
        function refundEscrow(uint256 escrowId) external;
        function disputeEscrow(uint256 escrowId) external;
        function resolveDispute(uint256 escrowId, uint256 payerPercent) external;
        function getEscrow(uint256 escrowId) external view returns (EscrowData memory);
        function getUserEscrows(address user) external view returns (uint256[] memory);
    }

    interface AgentWalletFactory {
        event WalletCreated(address indexed owner, address indexed wallet, uint256 dailyLimit);
        function createWallet(uint256 dailyLimit) external returns (address);
        function getWallets(address owner) external view returns (address[] memory);
        function getWalletCount(address owner) external view returns (uint256);
    }

    interface AgentWallet {
        event AgentAuthorized(address indexed agent);
        event AgentRevoked(address indexed agent);
        event Deposited(address indexed from, uint256 amount);
        event Executed(address indexed to, uint256 value, bytes data);
        event SpendingLimitSet(uint256 dailyLimit);
        event Withdrawn(address indexed to, uint256 amount);
        error AgentAlreadyAuthorized();
        error AgentNotAuthorized();
        error ExceedsDailyLimit(uint256 requested, uint256 remaining);
        error ExecutionFailed(address to, bytes data);
        error InsufficientFunds(uint256 required, uint256 available);
        error NotAuthorized();
        error NotOwner();
        function execute(address to, uint256 value, bytes data) external returns (bytes memory);
        function authorizeAgent(address agent) external;
        function revokeAgent(address agent) external;
        function setDailySpendingLimit(uint256 limit) external;
        function withdrawFunds(uint256 amount) external;
        function getOwner() external view returns (address);
        function getDailySpendingLimit() external view returns (uint256);
        function getDailySpent() external view returns (uint256);
        function getRemainingDailyAllowance() external view returns (uint256);
        function isAuthorizedAgent(address agent) external view returns (bool);
        function getAuthorizedAgents() external view returns (address[] memory);
        function getAuthorizedAgentCount() external view returns (uint256);
    }

    interface Reenterer {
        function plan(address target, bytes attack) external;
        function run(address to, bytes data) external payable returns (bytes memory);
        function attempts() external view returns (uint256);
        function successes() external view returns (uint256);
        function answer() external view returns (bytes memory);
    }
}
