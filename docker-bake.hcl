# Every image for every platform. What runs elsewhere than here is emulated or built on its own machine, as buildx is set up.
#   docker buildx bake                                   all three, for amd64 and arm64: needs a builder that can, and
#                                                        `--push` or `--set '*.output=type=oci,dest=…'` to keep the result
#   docker buildx bake --load --set '*.platform=linux/amd64' openvino      one, into this machine's engine
#   REGISTRY=registry.example/team/ TAG=1.2.3 docker buildx bake --push

variable "REGISTRY" {
  default = "" // with a slash at its end
}

variable "TAG" {
  default = "" // before the name of the target: vit-serve:1.2.3-torch
}

group "default" {
  targets = ["openvino", "torch", "cuda"]
}

target "_all" {
  context    = "."
  dockerfile = "Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
  attest     = ["type=sbom", "type=provenance,mode=max"] // also of Debian's packages, which `make sbom` cannot know
}

target "openvino" {
  inherits = ["_all"]
  target   = "openvino"
  tags     = ["${REGISTRY}vit-serve:${TAG != "" ? "${TAG}-" : ""}openvino"]
}

target "torch" {
  inherits = ["_all"]
  target   = "torch"
  tags     = ["${REGISTRY}vit-serve:${TAG != "" ? "${TAG}-" : ""}torch"]
}

target "cuda" {
  inherits = ["_all"]
  target   = "torch"
  args     = { TORCH = "cuda" }
  tags     = ["${REGISTRY}vit-serve:${TAG != "" ? "${TAG}-" : ""}cuda"]
}
