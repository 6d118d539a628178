# Finds MPI and its launcher: FindMPI takes the first mpiexec in PATH, which may belong to
# another MPI if several are installed.

# The launcher beside the compiler wrapper: mpiexec.mpich for mpicc.mpich,
# /opt/mpi/bin/mpiexec for /opt/mpi/bin/mpicc.
if(MPI_C_COMPILER)
  find_program(mpi_wrapper NAMES ${MPI_C_COMPILER} NO_CACHE)
  get_filename_component(mpi_directory "${mpi_wrapper}" DIRECTORY)
  get_filename_component(mpi_launcher "${MPI_C_COMPILER}" NAME)
  string(REGEX REPLACE "^.*mpicc" mpiexec mpi_launcher "${mpi_launcher}")
  find_program(MPIEXEC_EXECUTABLE NAMES ${mpi_launcher} HINTS ${mpi_directory})
endif()
find_package(MPI REQUIRED COMPONENTS C)

include(CheckSymbolExists)
set(CMAKE_REQUIRED_LIBRARIES MPI::MPI_C)
check_symbol_exists(OPEN_MPI mpi.h TUTTI_MPI_IS_OPEN_MPI)
unset(CMAKE_REQUIRED_LIBRARIES)

# is_of_this_mpi PROGRAM OUT: sets OUT to TRUE if this launcher belongs to the MPI that was found.
function(is_of_this_mpi program out)
  execute_process(COMMAND ${program} --version OUTPUT_VARIABLE version ERROR_QUIET)
  set(matches FALSE)
  if((version MATCHES "Open MPI|OpenRTE" AND TUTTI_MPI_IS_OPEN_MPI) OR
     (NOT version MATCHES "Open MPI|OpenRTE" AND NOT TUTTI_MPI_IS_OPEN_MPI))
    set(matches TRUE)
  endif()
  set(${out} ${matches} PARENT_SCOPE)
endfunction()

set(names mpiexec.mpich mpiexec.hydra)
if(TUTTI_MPI_IS_OPEN_MPI)
  set(names mpiexec.openmpi orterun prterun)
endif()
if(MPIEXEC_EXECUTABLE)
  is_of_this_mpi(${MPIEXEC_EXECUTABLE} matches)
  if(NOT matches)
    find_program(mpi_other NAMES ${names} NO_CACHE)
    if(mpi_other)
      set(MPIEXEC_EXECUTABLE ${mpi_other} CACHE FILEPATH "Executable for running MPI programs." FORCE)
    else()
      message(WARNING "${MPIEXEC_EXECUTABLE} belongs to another MPI than ${MPI_C_LIBRARIES}: "
                      "set MPIEXEC_EXECUTABLE")
    endif()
  endif()
endif()
