import { expect, test } from 'vitest'
import { workloadSocketPath } from '../../local-cloud/edge-runtime/workload-api.ts'

test('the workload API lies in the data folder, or where its path can be written as it is', () => {
  expect(workloadSocketPath('/var/lib/millwright/edge', 'linux')).toBe('/var/lib/millwright/edge/workload.sock')
  for (const folder of ['/home/anna/my machines/edge', '/home/jörg/edge', '/data/100%/edge', `/${'deep/'.repeat(20)}edge`])
    expect(workloadSocketPath(folder, 'linux')).toMatch(/^[\w./-]{1,100}\/millwright-[0-9a-f]{16}\.sock$/)
})

test('is a named pipe on Windows, of each data folder its own', () => {
  const [one, other] = [workloadSocketPath('/data/one', 'win32'), workloadSocketPath('/data/other', 'win32')]
  expect(one).toMatch(/^\/\/\.\/pipe\/millwright-[0-9a-f]{16}$/)
  expect(other).not.toBe(one)
})
