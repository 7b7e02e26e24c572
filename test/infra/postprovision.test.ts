/** What is done after `azd provision`, told to a program that writes down what the Azure CLI would be asked. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { root } from '../support/product.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'az-'))
  // Whatever a folder above says of its scripts.
  writeFileSync(join(folder, 'package.json'), '{"type":"commonjs"}')
  // Keeps each call, and the deployment it is given; fails at what the test says is not there, or goes wrong.
  writeFileSync(
    join(folder, 'az'),
    `#!/usr/bin/env node
const { appendFileSync, copyFileSync } = require('node:fs')
const args = process.argv.slice(2)
appendFileSync(process.env.CALLS, JSON.stringify(args) + '\\n')
const content = args.indexOf('--content')
if (content > 0) copyFileSync(args[content + 1], process.env.CALLS + '.content')
const fails = process.env.FAILS.split(',').some((words) => words && args.join(' ').startsWith(words))
if (fails) { console.error('ERROR: ' + args[3] + ' did not work'); process.exit(3) }
`,
    { mode: 0o755 },
  )
})
afterEach(() => rmSync(folder, { recursive: true }))

function postprovision(environment: Record<string, string>, fails: readonly string[] = []) {
  const calls = join(folder, 'calls')
  rmSync(calls, { force: true })
  const env = { PATH: `${folder}${delimiter}${process.env.PATH}`, CALLS: calls, FAILS: fails.join(','), TMPDIR: folder, ...environment }
  return new Promise<{ code: number; output: string; calls: string[][] }>((done) => {
    execFile(process.execPath, [join(root, 'infra/hooks/postprovision.mjs')], { env, cwd: folder }, (error, stdout, stderr) => {
      const lines = existsSync(calls) ? readFileSync(calls, 'utf8').trim().split('\n') : []
      done({ code: Number(error?.code ?? 0), output: stdout + stderr, calls: lines.map((line) => JSON.parse(line) as string[]) })
    })
  })
}

const names = { IOT_HUB_NAME: 'iot-plant', DPS_NAME: 'dps-plant' }
const image = 'registry.example/millwright/edge-module:1.2.3'
const verbs = (calls: readonly string[][]) =>
  calls.map((args) => args.filter((_, index) => index < 4 && !args[index]!.startsWith('-')).join(' '))

describe.skipIf(process.platform === 'win32')('after provisioning', () => {
  test('the enrolment group is made once, and kept afterwards', async () => {
    const first = await postprovision(names, ['iot dps enrollment-group show'])
    expect(verbs(first.calls)).toEqual(['extension add azure-iot', 'iot dps enrollment-group show', 'iot dps enrollment-group create'])
    expect(first.calls[2]).toEqual(expect.arrayContaining(['--dps-name', 'dps-plant', '--enrollment-id', 'plant']))
    expect(first.output).toContain('set EDGE_MODULE_IMAGE')
    const again = await postprovision(names)
    expect([again.code, verbs(again.calls)]).toEqual([0, ['extension add azure-iot', 'iot dps enrollment-group show']])
  })

  test('the edge deployment is the template with the image, for gateways, and another image takes its place', async () => {
    // The first time there is none to take away.
    const { code, calls } = await postprovision({ ...names, EDGE_MODULE_IMAGE: image }, ['iot edge deployment delete'])
    expect([code, verbs(calls).slice(-2)]).toEqual([0, ['iot edge deployment delete', 'iot edge deployment create']])
    expect(calls.at(-1)).toEqual(
      expect.arrayContaining([
        '--hub-name',
        'iot-plant',
        '--deployment-id',
        'edge-module',
        '--target-condition',
        "tags.millwright='gateway'",
      ]),
    )
    const content = readFileSync(join(folder, 'calls.content'), 'utf8')
    const { modulesContent } = JSON.parse(content) as { modulesContent: { $edgeAgent: unknown } }
    expect(JSON.stringify(modulesContent.$edgeAgent)).toContain(image)
    expect(content).not.toContain('EDGE_MODULE_IMAGE')
  })

  test('what goes wrong ends it, with the Azure CLI’s own words', async () => {
    expect(await postprovision({ ...names, EDGE_MODULE_IMAGE: image }, ['iot edge deployment create'])).toMatchObject({
      code: 1,
      output: expect.stringContaining('az iot edge deployment create failed: ERROR: create did not work'),
    })
    // Nothing of it stays behind.
    expect(readdirSync(folder).sort()).toEqual(['az', 'calls', 'calls.content', 'package.json'])
    expect(await postprovision({})).toMatchObject({ code: 2, calls: [], output: expect.stringContaining('run by azd') })
  })
})
