/** What the pages and the unit say of machines, sensors and filters is what the code has. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { FilterSpec } from '../../contract/filter-spec.ts'
import { clockFaultKinds, deliveryFaultKinds, physicalFaultKinds, sensorFaultKinds } from '../../device-sim/faults/fault.ts'
import { machineKindNames } from '../../device-sim/machine-kinds.ts'
import { AgentConfig } from '../../device-sim/sensors/agent-config.ts'
import { Release } from '../../device-sim/updates/release.ts'
import { root } from '../support/product.ts'

const page = (path: string) => readFileSync(join(root, path), 'utf8')

describe('the page about machines', () => {
  test.each(machineKindNames)('has the %s with all its faults', (kind) => {
    const row = page('docs/MACHINES.md')
      .split('\n')
      .find((line) => line.startsWith(`| \`${kind}\` `))
    expect(row?.split('|').at(-2)?.trim().split(', ')).toEqual([...physicalFaultKinds(kind)])
  })

  test('has all faults of sensors, clocks and the way', () => {
    for (const kind of [...sensorFaultKinds, ...clockFaultKinds, ...deliveryFaultKinds]) expect(page('docs/MACHINES.md')).toContain(kind)
  })
})

test('the Raspberry Pi page’s configuration and desired release are some', () => {
  const [release, config] = [...page('docs/RASPBERRY-PI.md').matchAll(/```json\n([\s\S]+?)```/g)].map(
    (match) => JSON.parse(match[1]!) as unknown,
  )
  expect(Object.keys(AgentConfig.parse(config).signals)).toHaveLength(6)
  expect(Object.keys((release as { software: object }).software).filter((name) => !(name in Release.shape))).toEqual([])
})

test('the systemd unit names settings that the agent reads', () => {
  const names = page('infra/systemd/millwright-agent.service').match(/\b(IOTHUB|AGENT)_[A-Z_]+/g)!
  expect(names.length).toBeGreaterThan(3)
  for (const name of names) expect(page('device-sim/agent-settings.ts')).toMatch(new RegExp(`  ${name}: (z|ConnectionString)`))
})

test('the edge’s page has every filter', () => {
  for (const { shape } of FilterSpec.options) expect(page('docs/EDGE.md')).toContain(`| \`${shape.kind.value}\``)
})
