//! Transactions as etcd's requests have them.

use crate::names::{Names, lease_number, number};
use ports::kv::{Condition, Is, Life, Operation, Transaction};
use proto::etcd::etcdserverpb::{
    Compare, DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
    compare::{CompareResult, CompareTarget, TargetUnion},
    request_op::Request,
};

/// What etcd takes in one request unless told otherwise, less some room for what surrounds keys and values.
const REQUEST_SIZE_MAX: usize = (3 << 19) - (32 << 10);

/// What surrounds one key or value, at most: two levels of messages with lengths of four bytes, and some numbers.
const OVERHEAD: usize = 48;

/// A transaction for etcd. `leases` are those of the puts with a time to live of their own, in order.
///
/// When it is refused it tells what its keys are, unless that would make the request too large: then the second value is
/// false.
pub(crate) fn request(
    names: &Names,
    transaction: &Transaction,
    leases: &[i64],
) -> (TxnRequest, bool) {
    let compare = transaction.conditions.iter().map(|condition| compare(names, condition));
    let mut leases = leases.iter().copied();
    let success = transaction.operations.iter();
    let success = success.filter_map(|operation| operate(names, operation, &mut leases));
    let (compare, success): (Vec<_>, Vec<_>) = (compare.collect(), success.collect());
    let failure = look(names, &transaction.conditions);
    let size = size(&compare, &success) + failure.iter().map(op_size).sum::<usize>();
    let tells = size <= REQUEST_SIZE_MAX;
    let failure = if tells { failure } else { Vec::new() };
    (TxnRequest { compare, success, failure }, tells)
}

/// Reads of what the conditions are about.
pub(crate) fn look(names: &Names, conditions: &[Condition]) -> Vec<RequestOp> {
    let range = |condition: &Condition| {
        let key = names.full(&condition.key);
        op(Request::RequestRange(RangeRequest { key, ..RangeRequest::default() }))
    };
    conditions.iter().map(range).collect()
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn compare(names: &Names, condition: &Condition) -> Compare {
    // What is missing has version 0 and revisions 0, so those must never be asked for as if they were something's.
    let never = (CompareResult::Less, CompareTarget::Version, TargetUnion::Version(0));
    let is_known =
        |revision: ports::kv::Revision| revision.0 > 0 && i64::try_from(revision.0).is_ok();
    let (result, target, union) = match &condition.is {
        Is::Missing => (CompareResult::Equal, CompareTarget::Version, TargetUnion::Version(0)),
        Is::Present => (CompareResult::Greater, CompareTarget::Version, TargetUnion::Version(0)),
        Is::CreatedAt(revision) if is_known(*revision) => {
            let union = TargetUnion::CreateRevision(number(*revision));
            (CompareResult::Equal, CompareTarget::Create, union)
        }
        Is::ModifiedAt(revision) if is_known(*revision) => {
            let union = TargetUnion::ModRevision(number(*revision));
            (CompareResult::Equal, CompareTarget::Mod, union)
        }
        Is::CreatedAt(_) | Is::ModifiedAt(_) => never,
        Is::Value(value) => {
            (CompareResult::Equal, CompareTarget::Value, TargetUnion::Value(value.clone()))
        }
    };
    Compare {
        result: result.into(),
        target: target.into(),
        key: names.full(&condition.key),
        target_union: Some(union),
    }
}

/// `None`: there is nothing that it could do.
fn operate(
    names: &Names,
    operation: &Operation,
    leases: &mut impl Iterator<Item = i64>,
) -> Option<RequestOp> {
    let request = match operation {
        Operation::Put { key, value, life } => {
            let lease = match life {
                Life::Endless => 0,
                Life::Lease(lease) => lease_number(*lease),
                Life::Ttl(_) => leases.next().expect("a lease was granted for each of them"),
            };
            Request::RequestPut(PutRequest { key: names.full(key), value: value.clone(), lease })
        }
        Operation::Delete { key } => Request::RequestDeleteRange(DeleteRangeRequest {
            key: names.full(key),
            ..DeleteRangeRequest::default()
        }),
        Operation::DeleteRange { range } => {
            let span = names.span(range)?;
            Request::RequestDeleteRange(DeleteRangeRequest { key: span.key, range_end: span.end })
        }
    };
    Some(op(request))
}

/// Bytes on the wire, or some more.
fn size(compare: &[Compare], operations: &[RequestOp]) -> usize {
    let compare = compare.iter().map(|compare| {
        let value = match &compare.target_union {
            Some(TargetUnion::Value(value)) => value.len(),
            _ => 0,
        };
        compare.key.len() + value + OVERHEAD
    });
    compare.sum::<usize>() + operations.iter().map(op_size).sum::<usize>()
}

fn op_size(op: &RequestOp) -> usize {
    let bytes = match &op.request {
        Some(Request::RequestRange(range)) => range.key.len() + range.range_end.len(),
        Some(Request::RequestPut(put)) => put.key.len() + put.value.len(),
        Some(Request::RequestDeleteRange(range)) => range.key.len() + range.range_end.len(),
        None => 0,
    };
    bytes + OVERHEAD
}
