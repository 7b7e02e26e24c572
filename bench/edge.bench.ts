import { asDeployed } from './as-deployed.ts'
import { measureAlerts } from './edge/alerts.ts'
import { measureConnections } from './edge/connections.ts'
import { measureFiltering } from './edge/filtering.ts'
import { measureIngest } from './edge/ingest.ts'
import type * as Wire from './edge/wire.ts'
import { printHeader } from './measure.ts'

const parts = {
  wire: async () => (await asDeployed<typeof Wire>('./edge/wire.ts')).measureWire(),
  filtering: measureFiltering,
  alerts: measureAlerts,
  connections: measureConnections,
  ingest: measureIngest,
} as const
const wanted = (process.env.PARTS ?? Object.keys(parts).join(',')).split(',') as (keyof typeof parts)[]
printHeader('Edge')
for (const part of wanted) await parts[part]()
