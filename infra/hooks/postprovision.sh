#!/bin/sh
# After `azd provision`: the enrolment group that devices of the plant register with, and the edge deployment.
# Safe to run again. Takes its names from the outputs of main.bicep, which azd puts into the environment.
set -eu

: "${AZURE_RESOURCE_GROUP:?run this by azd}" "${IOT_HUB_NAME:?}" "${DPS_NAME:?}"
group=plant
deployment=edge-module

az extension add --name azure-iot --upgrade --only-show-errors

if ! az iot dps enrollment-group show --dps-name "$DPS_NAME" --enrollment-id "$group" --only-show-errors >/dev/null 2>&1; then
  az iot dps enrollment-group create --dps-name "$DPS_NAME" --enrollment-id "$group" --only-show-errors >/dev/null
  echo "enrolment group '$group' made"
fi

if [ -z "${EDGE_MODULE_IMAGE:-}" ]; then
  echo "no edge deployment: set EDGE_MODULE_IMAGE to the image in your registry (azd env set), and run 'azd provision' again"
  exit 0
fi

content=$(mktemp)
trap 'rm -f "$content"' EXIT
sed "s|\${EDGE_MODULE_IMAGE}|$EDGE_MODULE_IMAGE|" infra/edge/deployment.template.json >"$content"
az iot edge deployment delete --hub-name "$IOT_HUB_NAME" --deployment-id "$deployment" --only-show-errors >/dev/null 2>&1 || true
az iot edge deployment create --hub-name "$IOT_HUB_NAME" --deployment-id "$deployment" --content "$content" \
  --target-condition "tags.millwright='gateway'" --priority 10 --only-show-errors >/dev/null
echo "edge deployment '$deployment' goes to every gateway whose twin has the tag millwright=gateway"
