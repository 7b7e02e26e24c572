/**
 * After `azd provision`: the enrolment group that devices of the plant register with, and the edge deployment. Safe to run
 * again. Takes its names from the outputs of main.bicep, which azd puts into the environment.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const group = 'plant'
const deployment = 'edge-module'

const { IOT_HUB_NAME: hub, DPS_NAME: dps, EDGE_MODULE_IMAGE: image } = process.env
if (!hub || !dps) {
  process.stderr.write('IOT_HUB_NAME and DPS_NAME are not set: this is run by azd, after azd provision\n')
  process.exit(2)
}

/** Runs the Azure CLI; what it says on errors is shown where it matters. */
function az(args, { mayFail = false } = {}) {
  const { status, stderr, error } = spawnSync('az', [...args, '--only-show-errors'], {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
    // On Windows the Azure CLI is a batch file.
    shell: process.platform === 'win32',
  })
  if (status === 0) return true
  if (mayFail) return false
  process.stderr.write(`az ${args.slice(0, 4).join(' ')} failed: ${error?.message ?? stderr.trim()}\n`)
  process.exit(1)
}

az(['extension', 'add', '--name', 'azure-iot', '--upgrade'])

const enrolment = ['--dps-name', dps, '--enrollment-id', group]
if (!az(['iot', 'dps', 'enrollment-group', 'show', ...enrolment], { mayFail: true })) {
  az(['iot', 'dps', 'enrollment-group', 'create', ...enrolment])
  process.stdout.write(`enrolment group '${group}' made\n`)
}

if (!image) {
  process.stdout.write(
    "no edge deployment: set EDGE_MODULE_IMAGE to the image in your registry (azd env set), and run 'azd provision' again\n",
  )
  process.exit(0)
}

const template = readFileSync(join(dirname(fileURLToPath(import.meta.url)), '..', 'edge', 'deployment.template.json'), 'utf8')
const folder = mkdtempSync(join(tmpdir(), 'millwright-'))
// However this ends.
process.once('exit', () => rmSync(folder, { recursive: true }))
const content = join(folder, 'deployment.json')
writeFileSync(content, template.replaceAll('${EDGE_MODULE_IMAGE}', image))
// A deployment's content cannot be changed: the old one goes, and gateways keep what they run until the new one is there.
az(['iot', 'edge', 'deployment', 'delete', '--hub-name', hub, '--deployment-id', deployment], { mayFail: true })
const target = ['--target-condition', "tags.millwright='gateway'", '--priority', '10']
az(['iot', 'edge', 'deployment', 'create', '--hub-name', hub, '--deployment-id', deployment, '--content', content, ...target])
process.stdout.write(`edge deployment '${deployment}' goes to every gateway whose twin has the tag millwright=gateway\n`)
