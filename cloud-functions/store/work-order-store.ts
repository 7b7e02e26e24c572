/** Work orders: at most one is open for an asset and a failure code, whichever alert asked for it. */
import { z } from 'zod'
import { quoted } from './alert-store.ts'
import { tableKey } from './table-keys.ts'
import { hasStatus } from './tables.ts'
import type { Tables } from './tables.ts'

const WorkOrderRow = z.looseObject({
  etag: z.string(),
  asset: z.string(),
  failureCode: z.string(),
  alertId: z.string(),
  number: z.string(),
  status: z.enum(['requested', 'open', 'closed']),
  requestedMs: z.number(),
  closedMs: z.number(),
})
export type WorkOrder = z.infer<typeof WorkOrderRow>

type Fault = { readonly asset: string; readonly failureCode: string }

function keysOf({ asset, failureCode }: Fault) {
  return { partitionKey: tableKey(asset), rowKey: tableKey(failureCode) }
}

export async function readWorkOrder(tables: Tables, fault: Fault): Promise<WorkOrder | undefined> {
  const { partitionKey, rowKey } = keysOf(fault)
  try {
    return WorkOrderRow.parse(await tables.workOrders.getEntity(partitionKey, rowKey))
  } catch (error) {
    if (hasStatus(error, 404)) return undefined
    throw error
  }
}

/**
 * Asks for a work order in the name of an alert.
 * @returns the order that is open for the fault: the alert's own, or that of the alert that asked before; a new one
 * when the last is done
 */
export async function claimWorkOrder(tables: Tables, fault: Fault, alertId: string, nowMs: number): Promise<WorkOrder> {
  for (let attempt = 1; attempt <= 5; attempt++) {
    const known = await readWorkOrder(tables, fault)
    if (known && known.status !== 'closed') return known
    const row = { ...keysOf(fault), ...fault, alertId, number: '', status: 'requested', requestedMs: nowMs, closedMs: 0 }
    try {
      if (known) await tables.workOrders.updateEntity(row, 'Replace', { etag: known.etag })
      else await tables.workOrders.createEntity(row)
    } catch (error) {
      if (!hasStatus(error, 409) && !hasStatus(error, 412)) throw error
    }
  }
  throw new Error(`the work order of '${fault.asset}' for '${fault.failureCode}' is contended; trying again helps`)
}

/** An order that was asked for in the name of an alert that is part of another by now. @returns false when somebody else was faster */
export async function takeWorkOrder(tables: Tables, order: WorkOrder, alertId: string): Promise<boolean> {
  try {
    await tables.workOrders.updateEntity({ ...keysOf(order), alertId }, 'Merge', { etag: order.etag })
    return true
  } catch (error) {
    if (hasStatus(error, 412)) return false
    throw error
  }
}

export async function openWorkOrder(tables: Tables, fault: Fault, number: string): Promise<void> {
  await tables.workOrders.updateEntity({ ...keysOf(fault), number, status: 'open' }, 'Merge')
}

export async function findWorkOrder(tables: Tables, number: string): Promise<WorkOrder | undefined> {
  for await (const row of tables.workOrders.listEntities({ queryOptions: { filter: `number eq '${quoted(number)}'` } }))
    return WorkOrderRow.parse(row)
  return undefined
}

export async function closeWorkOrder(tables: Tables, order: WorkOrder, nowMs: number): Promise<void> {
  await tables.workOrders.updateEntity({ ...keysOf(order), status: 'closed', closedMs: nowMs }, 'Merge')
}

export async function listWorkOrders(tables: Tables): Promise<WorkOrder[]> {
  const orders: WorkOrder[] = []
  for await (const row of tables.workOrders.listEntities()) orders.push(WorkOrderRow.parse(row))
  return orders.sort((a, b) => b.requestedMs - a.requestedMs)
}
