/**
 * Keeps account of one device: which seqs of which boot are applied, and what became of every reading.
 */
import type { LedgerCounts } from '../../contract/ledger.ts'
import type { DeviceBlock } from '../../contract/telemetry/telemetry.ts'
import { expiredReason, readingCount, recalledCount } from '../../contract/telemetry/telemetry.ts'

/** Boots remembered beside the current one; a reading of an older boot could only come from a very old buffer. */
const bootsMax = 8

type Boot = { appliedSeq: number; receivedSeq: number }

/** Plain data but for the map. */
export type DeviceAccount = {
  /** By names that devices give them, the oldest first. */
  readonly boots: Map<string, Boot>
  /** Highest seqs of boots no longer remembered. */
  forgottenSeqs: number
  stored: number
  filtered: number
  deadLettered: number
  expired: number
  duplicates: number
}

export function newAccount(): DeviceAccount {
  return { boots: new Map(), forgottenSeqs: 0, stored: 0, filtered: 0, deadLettered: 0, expired: 0, duplicates: 0 }
}

export function appliedSeq(account: DeviceAccount, bootId: string): number {
  return account.boots.get(bootId)?.appliedSeq ?? 0
}

/**
 * Books a block; readings up to the returned seq were booked before and are to be dropped.
 * What the block does not explain of its own range stays unexplained, and shows.
 */
export function bookBlock(account: DeviceAccount, block: DeviceBlock): { appliedBeforeSeq: number } {
  const boot = bootOf(account, block.bootId)
  const appliedBeforeSeq = boot.appliedSeq
  boot.receivedSeq = Math.max(boot.receivedSeq, block.receivedSeq)
  if (block.toSeq <= appliedBeforeSeq) {
    account.duplicates += readingCount(block)
    return { appliedBeforeSeq }
  }
  const isWholeNew = block.fromSeq > appliedBeforeSeq
  // What was filtered and is needed after all moves from one account to the other; of a block that came in part before, it may have moved.
  const recalled = isWholeNew ? recalledCount(block) : 0
  let fresh = 0
  for (const { seqs } of block.series) for (const seq of seqs) if (seq > appliedBeforeSeq && seq >= block.fromSeq) fresh++
  let [deadLettered, expired] = [0, 0]
  for (const { seq, count, reason } of block.rejected) {
    const booked = Math.max(0, seq + count - 1 - Math.max(seq - 1, appliedBeforeSeq))
    if (reason === expiredReason) expired += booked
    else deadLettered += booked
  }
  account.stored += fresh + recalled
  account.duplicates += readingCount(block) - fresh - recalled
  account.deadLettered += deadLettered
  account.expired += expired
  // A block that came in part before holds one sum for the whole range: what is new in it follows from the range.
  const filtered = isWholeNew ? block.filtered : Math.max(0, block.toSeq - appliedBeforeSeq - fresh - deadLettered - expired)
  account.filtered += filtered - recalled
  boot.appliedSeq = block.toSeq
  return { appliedBeforeSeq }
}

/** Books readings of a message that was set aside whole. */
export function bookDeadLetter(account: DeviceAccount, { bootId, seq, count }: { bootId: string; seq: number; count: number }): void {
  const boot = bootOf(account, bootId)
  const toSeq = seq + count - 1
  if (toSeq <= boot.appliedSeq) return
  account.deadLettered += toSeq - Math.max(boot.appliedSeq, seq - 1)
  boot.appliedSeq = toSeq
  boot.receivedSeq = Math.max(boot.receivedSeq, toSeq)
}

function bootOf(account: DeviceAccount, bootId: string): Boot {
  const { boots } = account
  const known = boots.get(bootId)
  if (known) return known
  const [oldest] = boots
  if (oldest && boots.size >= bootsMax) {
    const [oldestId, { appliedSeq: seqs }] = oldest
    account.forgottenSeqs += seqs
    boots.delete(oldestId)
  }
  const boot: Boot = { appliedSeq: 0, receivedSeq: 0 }
  boots.set(bootId, boot)
  return boot
}

export function ledgerOf(account: DeviceAccount): LedgerCounts {
  const boots = [...account.boots.values()]
  const applied = account.forgottenSeqs + boots.reduce((sum, boot) => sum + boot.appliedSeq, 0)
  const inFlight = boots.reduce((sum, boot) => sum + Math.max(0, boot.receivedSeq - boot.appliedSeq), 0)
  const { stored, filtered, deadLettered, expired, duplicates } = account
  return {
    published: applied + inFlight,
    stored,
    filtered,
    deadLettered,
    expired,
    inFlight,
    unexplained: applied - stored - filtered - deadLettered - expired,
    duplicates,
  }
}
